DROP FUNCTION
    content_of_thread(uuid), newest_content(uuid[], integer), content_sizes(uuid[]);

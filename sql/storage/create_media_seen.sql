-- Where an inventory is collected before it is compared.
CREATE TEMPORARY TABLE media_seen (
    key text NOT NULL,
    bytes bigint NOT NULL
) ON COMMIT DROP;

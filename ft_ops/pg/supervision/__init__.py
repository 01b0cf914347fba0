"""Programs that end with us: whom they give way to, and what they are kept from."""

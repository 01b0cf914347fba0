"""How large everything is, where it is going, and the disk that it has to fit on."""

"""The provider Amazon RDS: snapshots, point-in-time recovery, copies in another region."""

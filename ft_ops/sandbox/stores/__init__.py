"""S3 endpoints on this machine: moto, and SeaweedFS."""

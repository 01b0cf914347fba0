# Copies of versions in a bucket that exists already, in another region. What is deleted here stays there:
# delete markers are not copied, a version that is removed by name never is, and the role could not.

resource "aws_iam_role" "replication" {
  count = var.replica_arn == "" ? 0 : 1

  name = var.replica_role
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "s3.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_iam_role_policy" "replication" {
  count = var.replica_arn == "" ? 0 : 1

  name = "replicate"
  role = aws_iam_role.replication[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
        Resource = aws_s3_bucket.this.arn
      },
      {
        Effect = "Allow"
        Action = [
          "s3:GetObjectVersionAcl", "s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging",
        ]
        Resource = [for prefix in values(var.replicated) : "${aws_s3_bucket.this.arn}/${prefix}*"]
      },
      {
        Effect   = "Allow"
        Action   = ["s3:ReplicateObject", "s3:ReplicateTags"]
        Resource = [for prefix in values(var.replicated) : "${var.replica_arn}/${prefix}*"]
      },
    ]
  })
}

resource "aws_s3_bucket_replication_configuration" "this" {
  count      = var.replica_arn == "" ? 0 : 1
  depends_on = [aws_s3_bucket_versioning.this, aws_iam_role_policy.replication]

  bucket = aws_s3_bucket.this.id
  role   = aws_iam_role.replication[0].arn

  lifecycle {
    precondition {
      condition     = var.key_arn == ""
      error_message = "Copies of objects under a key of yours need one in the other region: make that replication by hand."
    }
  }

  dynamic "rule" {
    for_each = keys(var.replicated)

    content {
      id       = rule.value
      status   = "Enabled"
      priority = rule.key + 1

      filter {
        prefix = var.replicated[rule.value]
      }

      delete_marker_replication {
        status = "Disabled"
      }

      destination {
        bucket        = var.replica_arn
        storage_class = "STANDARD"
      }
    }
  }
}

# The two buckets. Neither is ever destroyed by Terraform: see bucket/main.tf.

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

data "aws_region" "here" {}

locals {
  key_arn = var.objects_key == "" ? "" : join(":", [
    "arn", data.aws_partition.here.partition, "kms", data.aws_region.here.name,
    data.aws_caller_identity.here.account_id, "key/${var.objects_key}",
  ])
}

module "archive" {
  source = "./bucket"

  name         = var.archive_bucket
  account      = data.aws_caller_identity.here.account_id
  partition    = data.aws_partition.here.partition
  object_lock  = true
  key_arn      = local.key_arn
  replica_role = "${var.role_prefix}replicate-archive"

  # S3 does not replicate what lies in Glacier: the job copy_archive_to_replica does.
  replica_arn = var.archive_replica_bucket == "" ? "" : join(":", [
    "arn", data.aws_partition.here.partition, "s3", "", "", var.archive_replica_bucket,
  ])
  replicated = {
    records   = "${var.archive_prefix}/records/"
    manifests = "${var.archive_prefix}/table=manifest/"

    audit_records   = "${var.archive_prefix}/audit_log/records/"
    audit_manifests = "${var.archive_prefix}/audit_log/table=manifest/"
  }

  deleting_roles = [
    for job in ["archive_old_content", "archive_audit_log", "erase_archived_content", "remove_superseded_content"] :
    "*/${var.role_prefix}${job}"
  ]
}

module "backups" {
  source = "./bucket"

  name                 = var.backup_bucket
  account              = data.aws_caller_identity.here.account_id
  partition            = data.aws_partition.here.partition
  object_lock          = false
  key_arn              = local.key_arn
  deleted_version_days = var.deleted_version_days
  replica_arn          = var.backup_replica
  replica_role         = "${var.role_prefix}replicate-backups"
  replicated           = { everything = "" }

  deleting_roles = [
    for job in ["retain_backups", "take_monthly_dump"] : "*/${var.role_prefix}${job}"
  ]
}

# The policies of ../../iam with their names in capitals replaced. No provider: what comes of the
# variables can be looked at without an account.

locals {
  folder = "${path.module}/../../iam"

  plain  = { for path in fileset(local.folder, "*.json") : trimsuffix(path, ".json") => file("${local.folder}/${path}") }
  rds    = { for path in fileset("${local.folder}/rds", "*.json") : trimsuffix(path, ".json") => file("${local.folder}/rds/${path}") }
  second = { for path in fileset("${local.folder}/replica", "*.json") : trimsuffix(path, ".json") => file("${local.folder}/replica/${path}") }
  keys   = { for path in fileset("${local.folder}/kms", "*.json") : trimsuffix(path, ".json") => file("${local.folder}/kms/${path}") }

  # On RDS the jobs of the backups have another policy, instead of the one for barman.
  own = {
    for job, text in merge(local.plain, var.rds_instance == "" ? {} : local.rds) : job => text
    if !(strcontains(text, "INVENTORY_BUCKET") && var.inventory_bucket == "")
    && !(strcontains(text, "STAGING_BUCKET") && var.staging_bucket == "")
    && !(strcontains(text, "REPLICA_BUCKET") && var.replica_bucket == "")
  }
  writes = { for job, text in local.own : job => strcontains(text, "\"s3:PutObject\"") }
  reads  = { for job, text in local.own : job => length(regexall("\"s3:GetObject(Version)?\"", text)) > 0 }

  # Which key's policy a role gets besides follows from its own, as docs/operations.md says.
  wanted = merge(
    local.own,
    { for job, text in local.second : "replica/${job}" => text if var.replica_bucket != "" },
    { for job, does in local.writes : "write_objects/${job}" => local.keys.write_objects if does && var.objects_key != "" },
    { for job, does in local.reads : "read_objects/${job}" => local.keys.read_objects if does && !local.writes[job] && var.objects_key != "" },
    {
      for job, text in local.own : "snapshots/${job}" => local.keys.snapshots
      if length(regexall("\"rds:(CreateDBSnapshot|RestoreDBInstance)", text)) > 0 && var.instance_key != ""
    },
    { for job, text in local.own : "sign_evidence/${job}" => local.keys.sign_evidence if job == "chain_evidence" && var.evidence_key != "" },
    {
      for job, text in local.own : "copies/${job}" => local.keys.copies
      if strcontains(text, "\"rds:CopyDBSnapshot\"") && var.dr_key != ""
    },
  )

  # One after the other: a name stands in no other's value.
  step_1 = { for key, text in local.wanted : key => replace(text, "ARCHIVE_BUCKET", var.archive_bucket) }
  step_2 = { for key, text in local.step_1 : key => replace(text, "ARCHIVE_PREFIX", var.archive_prefix) }
  step_3 = { for key, text in local.step_2 : key => replace(text, "BACKUP_BUCKET", var.backup_bucket) }
  step_4 = { for key, text in local.step_3 : key => replace(text, "BACKUP_PREFIX", var.backup_prefix) }
  step_5 = { for key, text in local.step_4 : key => replace(text, "INVENTORY_BUCKET", var.inventory_bucket) }
  step_6 = { for key, text in local.step_5 : key => replace(text, "INVENTORY_PREFIX", var.inventory_prefix) }
  step_s = { for key, text in local.step_6 : key => replace(text, "STAGING_BUCKET", var.staging_bucket) }
  step_r = { for key, text in local.step_s : key => replace(text, "REPLICA_BUCKET", var.replica_bucket) }
  step_7 = { for key, text in local.step_r : key => replace(text, "RDS_INSTANCE", var.rds_instance) }
  step_8 = { for key, text in local.step_7 : key => replace(text, "DR_REGION", var.dr_region == "" ? "none" : var.dr_region) }
  step_9 = { for key, text in local.step_8 : key => replace(text, "ACCOUNT_ID", var.account) }
  keys_1 = { for key, text in local.step_9 : key => replace(text, "OBJECTS_KEY", var.objects_key) }
  keys_2 = { for key, text in local.keys_1 : key => replace(text, "INSTANCE_KEY", var.instance_key) }
  keys_3 = { for key, text in local.keys_2 : key => replace(text, "DR_KEY", var.dr_key) }
  keys_4 = { for key, text in local.keys_3 : key => replace(text, "EVIDENCE_KEY", var.evidence_key) }
}

# A role for each job that needs AWS, and the one of Dagster's own services (code_server). A run takes
# its job's role: whatever a schedule launches has the rights of that job and no others.

module "policies" {
  source = "./policies"

  archive_bucket   = var.archive_bucket
  archive_prefix   = var.archive_prefix
  backup_bucket    = var.backup_bucket
  backup_prefix    = var.backup_prefix
  staging_bucket   = var.staging_bucket
  inventory_bucket = var.inventory_bucket
  inventory_prefix = var.inventory_prefix
  replica_bucket   = var.archive_replica_bucket
  rds_instance     = var.rds_instance
  dr_region        = var.dr_region
  objects_key      = var.objects_key
  instance_key     = var.instance_key
  dr_key           = var.dr_key
  evidence_key     = var.evidence_key
  account          = data.aws_caller_identity.here.account_id
}

resource "aws_iam_role" "job" {
  for_each = module.policies.jobs

  name                 = "${var.role_prefix}${each.key}"
  description          = "Runs of the job ${each.key} of FamilyTales' operations"
  max_session_duration = 21600
  assume_role_policy   = var.runs_on == "ecs" ? local.taken_by_ecs : local.taken_by_eks[each.key]
}

resource "aws_iam_role_policy" "job" {
  for_each = module.policies.documents

  name   = replace(each.key, "/", "-")
  role   = aws_iam_role.job[element(split("/", each.key), length(split("/", each.key)) - 1)].name
  policy = each.value
}

locals {
  taken_by_ecs = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.here.account_id }
      }
    }]
  })

  # The account of deploy/kubernetes/service-accounts.yaml; Dagster's own is the chart's.
  taken_by_eks = {
    for job in module.policies.jobs : job => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect = "Allow"
        Action = "sts:AssumeRoleWithWebIdentity"
        Principal = {
          Federated = join(":", [
            "arn", data.aws_partition.here.partition, "iam", "",
            data.aws_caller_identity.here.account_id, "oidc-provider/${var.oidc_provider}",
          ])
        }
        Condition = {
          StringEquals = {
            "${var.oidc_provider}:aud" = "sts.amazonaws.com"
            "${var.oidc_provider}:sub" = join(":", [
              "system:serviceaccount", var.namespace,
              job == "code_server" ? "ft-ops-dagster" : "ft-ops-${replace(job, "_", "-")}",
            ])
          }
        }
      }]
    })
  }
}

output "role_arns" {
  description = "By job. On EKS, the annotations of deploy/kubernetes/service-accounts.yaml."
  value       = { for job, role in aws_iam_role.job : job => role.arn }
}

output "ecs_task_role_prefix" {
  description = "FT_ECS_TASK_ROLE_PREFIX."
  value = join(":", [
    "arn", data.aws_partition.here.partition, "iam", "",
    data.aws_caller_identity.here.account_id, "role/${var.role_prefix}",
  ])
}

output "jobs" {
  description = "The jobs that have a role."
  value       = toset(keys(local.own))
}

output "documents" {
  description = "Every policy, by its job; those of keys by what they are for and the job: snapshots/drill_restore."
  value       = local.keys_4
}

variable "archive_bucket" {
  description = "FT_ARCHIVE_BUCKET."
  type        = string
}

variable "archive_prefix" {
  description = "FT_ARCHIVE_PREFIX."
  type        = string
  default     = "archive"
}

variable "backup_bucket" {
  description = "FT_BACKUP_BUCKET."
  type        = string
}

variable "backup_prefix" {
  description = "FT_BACKUP_PREFIX."
  type        = string
  default     = "barman"
}

variable "staging_bucket" {
  description = "FT_STAGING_BUCKET; empty where mask_copy hands out nothing."
  type        = string
  default     = ""
}

variable "inventory_bucket" {
  description = "The bucket of FT_MEDIA_INVENTORY; empty where recompute_storage reads none."
  type        = string
  default     = ""
}

variable "inventory_prefix" {
  description = "The prefix of FT_MEDIA_INVENTORY."
  type        = string
  default     = ""
}

variable "rds_instance" {
  description = "FT_RDS_INSTANCE; empty where FT_BACKUP_PROVIDER is barman."
  type        = string
  default     = ""
}

variable "dr_region" {
  description = "FT_DR_REGION; empty without copies of RDS snapshots in another region."
  type        = string
  default     = ""
}

variable "role_prefix" {
  description = "What the names of the jobs' roles begin with: FT_ECS_TASK_ROLE_PREFIX ends in it."
  type        = string
  default     = "familytales-"
}

variable "runs_on" {
  description = "Where runs get their roles: ecs (task roles) or eks (service accounts)."
  type        = string
  default     = "ecs"

  validation {
    condition     = contains(["ecs", "eks"], var.runs_on)
    error_message = "It is ecs or eks."
  }
}

variable "oidc_provider" {
  description = "On EKS, the cluster's OIDC provider without https://, as oidc.eks.us-east-1.amazonaws.com/id/0123."
  type        = string
  default     = ""
}

variable "namespace" {
  description = "On EKS, the namespace of deploy/kubernetes."
  type        = string
  default     = "ft-ops"
}

variable "objects_key" {
  description = "The id of a KMS key of yours for both buckets; empty for S3's own keys."
  type        = string
  default     = ""
}

variable "instance_key" {
  description = "The id of the KMS key of the RDS instance; empty for RDS's own."
  type        = string
  default     = ""
}

variable "evidence_key" {
  description = "The id of the KMS key that signs the chain of evidence; empty where a file does."
  type        = string
  default     = ""
}

variable "dr_key" {
  description = "The id of FT_DR_KMS_KEY, a key in the other region; empty without one."
  type        = string
  default     = ""
}

variable "deleted_version_days" {
  description = "Days after which versions of the backups' bucket go that the retention has let go."
  type        = number
  default     = 30
}

variable "archive_replica_bucket" {
  description = "FT_ARCHIVE_REPLICA_BUCKET, which exists already in another region; empty for none. S3 copies records and manifests there, the operations the content."
  type        = string
  default     = ""
}

variable "backup_replica" {
  description = "The ARN of FT_DR_BUCKET, that the backups are copied to; empty for none."
  type        = string
  default     = ""
}

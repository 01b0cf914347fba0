variable "name" {
  type = string
}

variable "account" {
  type = string
}

variable "partition" {
  type = string
}

variable "object_lock" {
  description = "Whether versions can be given a retention. It can't be taken back."
  type        = bool
}

variable "key_arn" {
  description = "A KMS key of yours; empty for S3's own keys."
  type        = string
  default     = ""
}

variable "deleted_version_days" {
  description = "For the backups' bucket alone. 0 keeps every version until somebody deletes it by name."
  type        = number
  default     = 0
}

variable "deleting_roles" {
  description = "ARN patterns of the roles that may delete versions. Nobody else may, whatever an identity's own policy says."
  type        = list(string)

  validation {
    condition     = length(var.deleting_roles) > 0
    error_message = "With an empty list, everybody might."
  }
}

variable "replica_arn" {
  type    = string
  default = ""
}

variable "replica_role" {
  type    = string
  default = ""
}

variable "replicated" {
  description = "The prefixes that are copied, by the names of their rules."
  type        = map(string)
  default     = {}
}

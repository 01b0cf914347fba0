# Said in ../variables.tf.

variable "account" {
  type = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "An account's number has twelve digits."
  }
}

variable "archive_bucket" {
  type = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.archive_bucket))
    error_message = "It is no name of a bucket."
  }
}

variable "archive_prefix" {
  type = string

  # In a policy a star would be one, and an empty prefix the whole bucket.
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/=-]*[A-Za-z0-9]$", var.archive_prefix))
    error_message = "It is a folder without a slash at either end."
  }
}

variable "backup_bucket" {
  type = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.backup_bucket))
    error_message = "It is no name of a bucket."
  }
}

variable "backup_prefix" {
  type = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/=-]*[A-Za-z0-9]$", var.backup_prefix))
    error_message = "It is a folder without a slash at either end."
  }
}

variable "staging_bucket" {
  type    = string
  default = ""
}

variable "inventory_bucket" {
  type    = string
  default = ""
}

variable "inventory_prefix" {
  type    = string
  default = ""
}

variable "replica_bucket" {
  type    = string
  default = ""

  validation {
    condition     = can(regex("^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$", var.replica_bucket))
    error_message = "It is no name of a bucket."
  }
}

variable "rds_instance" {
  type    = string
  default = ""

  validation {
    condition     = can(regex("^[a-z0-9-]*$", var.rds_instance))
    error_message = "It is no identifier of an instance."
  }
}

variable "dr_region" {
  type    = string
  default = ""
}

variable "objects_key" {
  type    = string
  default = ""
}

variable "instance_key" {
  type    = string
  default = ""
}

variable "evidence_key" {
  type    = string
  default = ""
}

variable "dr_key" {
  type    = string
  default = ""
}

#!/bin/bash
# Runs once, when the database's volume is empty: the roles, the two databases, their passwords.
set -euo pipefail

password() { tr -d '\n' <"/run/secrets/$1"; }

OPS_PASSWORD=$(password ops_password)
DAGSTER_PASSWORD=$(password dagster_password)
APP_PASSWORD=$(password app_password)
export OPS_PASSWORD DAGSTER_PASSWORD APP_PASSWORD

psql --no-psqlrc --username "$POSTGRES_USER" --dbname postgres --file /sql/roles/databases.sql

#!/bin/bash
# Runs once, when the database's volume is empty: the roles, the two databases, their passwords.
set -euo pipefail

password() { tr -d '\n' <"/run/secrets/$1"; }

psql() { command psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" "$@"; }

psql --dbname postgres <<'SQL'
CREATE DATABASE familytales TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
CREATE ROLE ft_dagster LOGIN;
CREATE DATABASE dagster OWNER ft_dagster TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
SQL

psql --dbname familytales --file /sql/roles/bootstrap.sql

# The variables are psql's, quoted by it, so that a password may hold anything.
psql --dbname postgres \
    --set ops="$(password ops_password)" \
    --set dagster="$(password dagster_password)" \
    --set app="$(password app_password)" <<'SQL'
ALTER ROLE ft_ops PASSWORD :'ops';
ALTER ROLE ft_dagster PASSWORD :'dagster';
ALTER ROLE ft_app PASSWORD :'app';
SQL

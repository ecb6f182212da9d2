# ---- host
dokku apps:set --global disable-autocreation true </dev/null
dokku network:exists internal </dev/null >/dev/null 2>&1 || dokku network:create internal </dev/null

# ---- store scenextras-db
dokku postgres:exists scenextras-db </dev/null >/dev/null 2>&1 || dokku postgres:create scenextras-db --image-version 17.6 --config-options '-c wal_level=logical -c max_replication_slots=40 -c max_wal_senders=40 -c max_logical_replication_workers=16 -c max_worker_processes=24 -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect scenextras-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "analytics"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "analytics" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${analytics_password}';
GRANT USAGE ON SCHEMA "public" TO "analytics";
COMMIT;
SQL

# ---- store analytics-db
dokku postgres:exists analytics-db </dev/null >/dev/null 2>&1 || dokku postgres:create analytics-db --image-version 17.6 --config-options '-c wal_level=logical -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect analytics-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "analytics_owner"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "analytics_owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${analytics_owner_password}';
DO \$\$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), 'analytics_owner'); END \$\$;
GRANT CREATE, USAGE ON SCHEMA "public" TO "analytics_owner";
COMMIT;
SQL

# ---- store scenextras-cache
dokku redis:exists scenextras-cache </dev/null >/dev/null 2>&1 || dokku redis:create scenextras-cache --image-version 8.2 </dev/null

# ---- store scenextras-queue
dokku rabbitmq:exists scenextras-queue </dev/null >/dev/null 2>&1 || dokku rabbitmq:create scenextras-queue --image-version 4.2-management </dev/null

# ---- app analytics-service
dokku apps:exists analytics-service </dev/null >/dev/null 2>&1 || dokku apps:create analytics-service </dev/null
dokku git:set analytics-service deploy-branch main </dev/null
dokku builder:set analytics-service selected dockerfile </dev/null
dokku builder-dockerfile:set analytics-service dockerfile-path dokku/Dockerfile </dev/null
dokku ps:set analytics-service procfile-path dokku/analytics-service/Procfile </dev/null
dokku app-json:set analytics-service appjson-path dokku/analytics-service/app.json </dev/null
dokku ps:set analytics-service stop-timeout-seconds 60 </dev/null
dokku network:set analytics-service attach-post-deploy internal </dev/null
dokku ports:set analytics-service http:80:8080 </dev/null
dokku redis:links scenextras-cache </dev/null | grep -qx analytics-service || dokku redis:link scenextras-cache analytics-service --alias REDIS --no-restart </dev/null
dokku rabbitmq:links scenextras-queue </dev/null | grep -qx analytics-service || dokku rabbitmq:link scenextras-queue analytics-service --alias RABBITMQ --no-restart </dev/null
dokku postgres:links analytics-db </dev/null | grep -qx analytics-service || dokku postgres:link analytics-db analytics-service --alias ANALYTICS_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart analytics-service ANALYTICS_DB_ADMIN_URL </dev/null
dokku postgres:links scenextras-db </dev/null | grep -qx analytics-service || dokku postgres:link scenextras-db analytics-service --alias SCENEXTRAS_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart analytics-service SCENEXTRAS_DB_ADMIN_URL </dev/null
ALLOWED_ORIGINS=https://scenextras.com,https://www.scenextras.com DATABASE_URL="postgresql://analytics_owner:${analytics_owner_password}@dokku-postgres-analytics-db:5432/analytics_db" ENVIRONMENT=production HOST=0.0.0.0 JWT_SECRETS="$JWT_SECRETS" LOG_LEVEL=info PROVIDERS=live PUBLIC_BASE_URL=https://api.scenextras.com SHARED_DATABASE_URL="postgresql://analytics:${analytics_password}@dokku-postgres-scenextras-db:5432/scenextras_db" json_of ALLOWED_ORIGINS DATABASE_URL ENVIRONMENT HOST JWT_SECRETS LOG_LEVEL PROVIDERS PUBLIC_BASE_URL SHARED_DATABASE_URL |
  dokku --quiet config:import --no-restart --format json analytics-service -
dokku resource:limit --process-type web --memory 512m analytics-service </dev/null
dokku resource:limit --process-type worker --memory 512m analytics-service </dev/null
dokku ps:scale --skip-deploy analytics-service worker=1 </dev/null
dokku proxy:disable analytics-service </dev/null

echo 'done; now deploy with: migrate deploy analytics-service'

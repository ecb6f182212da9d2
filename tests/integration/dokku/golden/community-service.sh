# ---- host
dokku apps:set --global disable-autocreation true </dev/null
dokku network:exists internal </dev/null >/dev/null 2>&1 || dokku network:create internal </dev/null

# ---- store scenextras-db
dokku postgres:exists scenextras-db </dev/null >/dev/null 2>&1 || dokku postgres:create scenextras-db --image-version 17.6 --config-options '-c wal_level=logical -c max_replication_slots=40 -c max_wal_senders=40 -c max_logical_replication_workers=16 -c max_worker_processes=24 -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect scenextras-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "community"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "community" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${community_password}';
GRANT USAGE ON SCHEMA "public" TO "community";
COMMIT;
SQL

# ---- store community-db
dokku postgres:exists community-db </dev/null >/dev/null 2>&1 || dokku postgres:create community-db --image-version 17.6 --config-options '-c wal_level=logical -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect community-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "community_owner"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "community_owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${community_owner_password}';
DO \$\$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), 'community_owner'); END \$\$;
GRANT CREATE, USAGE ON SCHEMA "public" TO "community_owner";
COMMIT;
SQL

# ---- store scenextras-cache
dokku redis:exists scenextras-cache </dev/null >/dev/null 2>&1 || dokku redis:create scenextras-cache --image-version 8.2 </dev/null

# ---- store scenextras-queue
dokku rabbitmq:exists scenextras-queue </dev/null >/dev/null 2>&1 || dokku rabbitmq:create scenextras-queue --image-version 4.2-management </dev/null

# ---- app community-service
dokku apps:exists community-service </dev/null >/dev/null 2>&1 || dokku apps:create community-service </dev/null
dokku git:set community-service deploy-branch main </dev/null
dokku builder:set community-service selected dockerfile </dev/null
dokku builder-dockerfile:set community-service dockerfile-path dokku/Dockerfile </dev/null
dokku ps:set community-service procfile-path dokku/community-service/Procfile </dev/null
dokku app-json:set community-service appjson-path dokku/community-service/app.json </dev/null
dokku ps:set community-service stop-timeout-seconds 60 </dev/null
dokku checks:set community-service wait-to-retire 120 </dev/null
dokku network:set community-service attach-post-deploy internal </dev/null
dokku ports:set community-service http:80:8080 </dev/null
dokku redis:links scenextras-cache </dev/null | grep -qx community-service || dokku redis:link scenextras-cache community-service --alias REDIS --no-restart </dev/null
dokku rabbitmq:links scenextras-queue </dev/null | grep -qx community-service || dokku rabbitmq:link scenextras-queue community-service --alias RABBITMQ --no-restart </dev/null
dokku postgres:links community-db </dev/null | grep -qx community-service || dokku postgres:link community-db community-service --alias COMMUNITY_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart community-service COMMUNITY_DB_ADMIN_URL </dev/null
dokku postgres:links scenextras-db </dev/null | grep -qx community-service || dokku postgres:link scenextras-db community-service --alias SCENEXTRAS_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart community-service SCENEXTRAS_DB_ADMIN_URL </dev/null
ALLOWED_ORIGINS=https://scenextras.com,https://www.scenextras.com DATABASE_URL="postgresql://community_owner:${community_owner_password}@dokku-postgres-community-db:5432/community_db" ENVIRONMENT=production HOST=0.0.0.0 JWT_SECRETS="$JWT_SECRETS" LOG_LEVEL=info PROVIDERS=live PUBLIC_BASE_URL=https://api.scenextras.com SHARED_DATABASE_URL="postgresql://community:${community_password}@dokku-postgres-scenextras-db:5432/scenextras_db" json_of ALLOWED_ORIGINS DATABASE_URL ENVIRONMENT HOST JWT_SECRETS LOG_LEVEL PROVIDERS PUBLIC_BASE_URL SHARED_DATABASE_URL |
  dokku --quiet config:import --no-restart --format json community-service -
dokku resource:limit --process-type web --memory 512m community-service </dev/null
dokku resource:limit --process-type worker --memory 256m community-service </dev/null
dokku ps:scale --skip-deploy community-service web=2 worker=1 </dev/null
dokku proxy:disable community-service </dev/null

echo 'done; now deploy with: migrate deploy community-service'

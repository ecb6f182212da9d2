# ---- host
dokku apps:set --global disable-autocreation true </dev/null
dokku network:exists internal </dev/null >/dev/null 2>&1 || dokku network:create internal </dev/null

# ---- store scenextras-db
dokku postgres:exists scenextras-db </dev/null >/dev/null 2>&1 || dokku postgres:create scenextras-db --image-version 17.6 --config-options '-c wal_level=logical -c max_replication_slots=40 -c max_wal_senders=40 -c max_logical_replication_workers=16 -c max_worker_processes=24 -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect scenextras-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "content"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "content" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${content_password}';
GRANT USAGE ON SCHEMA "public" TO "content";
COMMIT;
SQL

# ---- store content-db
dokku postgres:exists content-db </dev/null >/dev/null 2>&1 || dokku postgres:create content-db --image-version 17.6 --config-options '-c wal_level=logical -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect content-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "content_owner"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "content_owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${content_owner_password}';
DO \$\$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), 'content_owner'); END \$\$;
GRANT CREATE, USAGE ON SCHEMA "public" TO "content_owner";
COMMIT;
SQL

# ---- store scenextras-cache
dokku redis:exists scenextras-cache </dev/null >/dev/null 2>&1 || dokku redis:create scenextras-cache --image-version 8.2 </dev/null

# ---- store scenextras-queue
dokku rabbitmq:exists scenextras-queue </dev/null >/dev/null 2>&1 || dokku rabbitmq:create scenextras-queue --image-version 4.2-management </dev/null

# ---- app content-service
dokku apps:exists content-service </dev/null >/dev/null 2>&1 || dokku apps:create content-service </dev/null
dokku git:set content-service deploy-branch main </dev/null
dokku builder:set content-service selected dockerfile </dev/null
dokku builder-dockerfile:set content-service dockerfile-path dokku/Dockerfile </dev/null
dokku ps:set content-service procfile-path dokku/content-service/Procfile </dev/null
dokku app-json:set content-service appjson-path dokku/content-service/app.json </dev/null
dokku ps:set content-service stop-timeout-seconds 60 </dev/null
dokku network:set content-service attach-post-deploy internal </dev/null
dokku ports:set content-service http:80:8080 </dev/null
dokku redis:links scenextras-cache </dev/null | grep -qx content-service || dokku redis:link scenextras-cache content-service --alias REDIS --no-restart </dev/null
dokku rabbitmq:links scenextras-queue </dev/null | grep -qx content-service || dokku rabbitmq:link scenextras-queue content-service --alias RABBITMQ --no-restart </dev/null
dokku postgres:links content-db </dev/null | grep -qx content-service || dokku postgres:link content-db content-service --alias CONTENT_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart content-service CONTENT_DB_ADMIN_URL </dev/null
dokku postgres:links scenextras-db </dev/null | grep -qx content-service || dokku postgres:link scenextras-db content-service --alias SCENEXTRAS_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart content-service SCENEXTRAS_DB_ADMIN_URL </dev/null
ALLOWED_ORIGINS=https://scenextras.com,https://www.scenextras.com DATABASE_URL="postgresql://content_owner:${content_owner_password}@dokku-postgres-content-db:5432/content_db" ENVIRONMENT=production HOST=0.0.0.0 JWT_SECRETS="$JWT_SECRETS" LOG_LEVEL=info PROVIDERS=live PUBLIC_BASE_URL=https://api.scenextras.com SHARED_DATABASE_URL="postgresql://content:${content_password}@dokku-postgres-scenextras-db:5432/scenextras_db" json_of ALLOWED_ORIGINS DATABASE_URL ENVIRONMENT HOST JWT_SECRETS LOG_LEVEL PROVIDERS PUBLIC_BASE_URL SHARED_DATABASE_URL |
  dokku --quiet config:import --no-restart --format json content-service -
dokku resource:limit --process-type web --memory 512m --cpu 1 content-service </dev/null
dokku resource:limit --process-type worker --memory 512m content-service </dev/null
dokku ps:scale --skip-deploy content-service web=2 worker=1 </dev/null
dokku proxy:disable content-service </dev/null

echo 'done; now deploy with: migrate deploy content-service'

# ---- host
dokku apps:set --global disable-autocreation true </dev/null
dokku network:exists internal </dev/null >/dev/null 2>&1 || dokku network:create internal </dev/null

# ---- store scenextras-db
dokku postgres:exists scenextras-db </dev/null >/dev/null 2>&1 || dokku postgres:create scenextras-db --image-version 17.6 --config-options '-c wal_level=logical -c max_replication_slots=40 -c max_wal_senders=40 -c max_logical_replication_workers=16 -c max_worker_processes=24 -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect scenextras-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "monolith"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "monolith" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${monolith_password}';
DO \$\$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), 'monolith'); END \$\$;
GRANT CREATE, USAGE ON SCHEMA "public" TO "monolith";
COMMIT;
SQL

# ---- store scenextras-cache
dokku redis:exists scenextras-cache </dev/null >/dev/null 2>&1 || dokku redis:create scenextras-cache --image-version 8.2 </dev/null

# ---- store scenextras-queue
dokku rabbitmq:exists scenextras-queue </dev/null >/dev/null 2>&1 || dokku rabbitmq:create scenextras-queue --image-version 4.2-management </dev/null

# ---- app api-monolith
dokku apps:exists api-monolith </dev/null >/dev/null 2>&1 || dokku apps:create api-monolith </dev/null
dokku git:set api-monolith deploy-branch main </dev/null
dokku builder:set api-monolith selected dockerfile </dev/null
dokku builder-dockerfile:set api-monolith dockerfile-path dokku/Dockerfile </dev/null
dokku ps:set api-monolith procfile-path dokku/api-monolith/Procfile </dev/null
dokku app-json:set api-monolith appjson-path dokku/api-monolith/app.json </dev/null
dokku ps:set api-monolith stop-timeout-seconds 60 </dev/null
dokku network:set api-monolith attach-post-deploy internal </dev/null
dokku ports:set api-monolith http:80:8080 </dev/null
dokku storage:info media-files </dev/null >/dev/null 2>&1 || dokku storage:create media-files --chown heroku </dev/null
dokku storage:list api-monolith </dev/null | grep -qF media-files || dokku storage:mount api-monolith media-files --container-dir /media </dev/null
dokku redis:links scenextras-cache </dev/null | grep -qx api-monolith || dokku redis:link scenextras-cache api-monolith --alias REDIS --no-restart </dev/null
dokku rabbitmq:links scenextras-queue </dev/null | grep -qx api-monolith || dokku rabbitmq:link scenextras-queue api-monolith --alias RABBITMQ --no-restart </dev/null
dokku postgres:links scenextras-db </dev/null | grep -qx api-monolith || dokku postgres:link scenextras-db api-monolith --alias SCENEXTRAS_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart api-monolith SCENEXTRAS_DB_ADMIN_URL </dev/null
ALLOWED_ORIGINS=https://scenextras.com,https://www.scenextras.com DATABASE_URL="postgresql://monolith:${monolith_password}@dokku-postgres-scenextras-db:5432/scenextras_db" ENVIRONMENT=production HOST=0.0.0.0 JWT_SECRETS="$JWT_SECRETS" LOG_LEVEL=info MEDIA_DIR=/media OWNER_API_URL=http://router.web:8080 PAYMENTS_LIVEMODE=true PROVIDERS=live PUBLIC_BASE_URL=https://api.scenextras.com json_of ALLOWED_ORIGINS DATABASE_URL ENVIRONMENT HOST JWT_SECRETS LOG_LEVEL MEDIA_DIR OWNER_API_URL PAYMENTS_LIVEMODE PROVIDERS PUBLIC_BASE_URL |
  dokku --quiet config:import --no-restart --format json api-monolith -
dokku resource:limit --process-type web --memory 1g api-monolith </dev/null
dokku resource:limit --process-type worker --memory 512m api-monolith </dev/null
dokku ps:scale --skip-deploy api-monolith web=2 worker=1 </dev/null
dokku proxy:disable api-monolith </dev/null

echo 'done; now deploy with: migrate deploy api-monolith'

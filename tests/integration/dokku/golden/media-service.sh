# ---- host
dokku apps:set --global disable-autocreation true </dev/null
dokku network:exists internal </dev/null >/dev/null 2>&1 || dokku network:create internal </dev/null

# ---- store scenextras-db
dokku postgres:exists scenextras-db </dev/null >/dev/null 2>&1 || dokku postgres:create scenextras-db --image-version 17.6 --config-options '-c wal_level=logical -c max_replication_slots=40 -c max_wal_senders=40 -c max_logical_replication_workers=16 -c max_worker_processes=24 -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect scenextras-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "media"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "media" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${media_password}';
GRANT USAGE ON SCHEMA "public" TO "media";
COMMIT;
SQL

# ---- store media-db
dokku postgres:exists media-db </dev/null >/dev/null 2>&1 || dokku postgres:create media-db --image-version 17.6 --config-options '-c wal_level=logical -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect media-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "media_owner"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "media_owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${media_owner_password}';
DO \$\$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), 'media_owner'); END \$\$;
GRANT CREATE, USAGE ON SCHEMA "public" TO "media_owner";
COMMIT;
SQL

# ---- store scenextras-cache
dokku redis:exists scenextras-cache </dev/null >/dev/null 2>&1 || dokku redis:create scenextras-cache --image-version 8.2 </dev/null

# ---- store scenextras-queue
dokku rabbitmq:exists scenextras-queue </dev/null >/dev/null 2>&1 || dokku rabbitmq:create scenextras-queue --image-version 4.2-management </dev/null

# ---- app media-service
dokku apps:exists media-service </dev/null >/dev/null 2>&1 || dokku apps:create media-service </dev/null
dokku git:set media-service deploy-branch main </dev/null
dokku builder:set media-service selected dockerfile </dev/null
dokku builder-dockerfile:set media-service dockerfile-path dokku/Dockerfile </dev/null
dokku ps:set media-service procfile-path dokku/media-service/Procfile </dev/null
dokku app-json:set media-service appjson-path dokku/media-service/app.json </dev/null
dokku ps:set media-service stop-timeout-seconds 60 </dev/null
dokku network:set media-service attach-post-deploy internal </dev/null
dokku ports:set media-service http:80:8080 </dev/null
dokku storage:info media-files </dev/null >/dev/null 2>&1 || dokku storage:create media-files --chown heroku </dev/null
dokku storage:list media-service </dev/null | grep -qF media-files || dokku storage:mount media-service media-files --container-dir /media </dev/null
dokku redis:links scenextras-cache </dev/null | grep -qx media-service || dokku redis:link scenextras-cache media-service --alias REDIS --no-restart </dev/null
dokku rabbitmq:links scenextras-queue </dev/null | grep -qx media-service || dokku rabbitmq:link scenextras-queue media-service --alias RABBITMQ --no-restart </dev/null
dokku postgres:links media-db </dev/null | grep -qx media-service || dokku postgres:link media-db media-service --alias MEDIA_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart media-service MEDIA_DB_ADMIN_URL </dev/null
dokku postgres:links scenextras-db </dev/null | grep -qx media-service || dokku postgres:link scenextras-db media-service --alias SCENEXTRAS_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart media-service SCENEXTRAS_DB_ADMIN_URL </dev/null
ALLOWED_ORIGINS=https://scenextras.com,https://www.scenextras.com DATABASE_URL="postgresql://media_owner:${media_owner_password}@dokku-postgres-media-db:5432/media_db" ENVIRONMENT=production HOST=0.0.0.0 JWT_SECRETS="$JWT_SECRETS" LOG_LEVEL=info MEDIA_DIR=/media PROVIDERS=live PUBLIC_BASE_URL=https://api.scenextras.com SHARED_DATABASE_URL="postgresql://media:${media_password}@dokku-postgres-scenextras-db:5432/scenextras_db" json_of ALLOWED_ORIGINS DATABASE_URL ENVIRONMENT HOST JWT_SECRETS LOG_LEVEL MEDIA_DIR PROVIDERS PUBLIC_BASE_URL SHARED_DATABASE_URL |
  dokku --quiet config:import --no-restart --format json media-service -
dokku resource:limit --process-type web --memory 512m media-service </dev/null
dokku resource:limit --process-type worker --memory 512m media-service </dev/null
dokku ps:scale --skip-deploy media-service web=2 worker=1 </dev/null
dokku proxy:disable media-service </dev/null

echo 'done; now deploy with: migrate deploy media-service'

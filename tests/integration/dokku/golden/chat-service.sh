# ---- host
dokku apps:set --global disable-autocreation true </dev/null
dokku network:exists internal </dev/null >/dev/null 2>&1 || dokku network:create internal </dev/null

# ---- store scenextras-db
dokku postgres:exists scenextras-db </dev/null >/dev/null 2>&1 || dokku postgres:create scenextras-db --image-version 17.6 --config-options '-c wal_level=logical -c max_replication_slots=40 -c max_wal_senders=40 -c max_logical_replication_workers=16 -c max_worker_processes=24 -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect scenextras-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "chat"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "chat" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${chat_password}';
GRANT USAGE ON SCHEMA "public" TO "chat";
COMMIT;
SQL

# ---- store chat-db
dokku postgres:exists chat-db </dev/null >/dev/null 2>&1 || dokku postgres:create chat-db --image-version 17.6 --config-options '-c wal_level=logical -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect chat-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "chat_owner"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "chat_owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${chat_owner_password}';
DO \$\$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), 'chat_owner'); END \$\$;
GRANT CREATE, USAGE ON SCHEMA "public" TO "chat_owner";
COMMIT;
SQL

# ---- store scenextras-cache
dokku redis:exists scenextras-cache </dev/null >/dev/null 2>&1 || dokku redis:create scenextras-cache --image-version 8.2 </dev/null

# ---- store scenextras-queue
dokku rabbitmq:exists scenextras-queue </dev/null >/dev/null 2>&1 || dokku rabbitmq:create scenextras-queue --image-version 4.2-management </dev/null

# ---- app chat-service
dokku apps:exists chat-service </dev/null >/dev/null 2>&1 || dokku apps:create chat-service </dev/null
dokku git:set chat-service deploy-branch main </dev/null
dokku builder:set chat-service selected dockerfile </dev/null
dokku builder-dockerfile:set chat-service dockerfile-path dokku/Dockerfile </dev/null
dokku ps:set chat-service procfile-path dokku/chat-service/Procfile </dev/null
dokku app-json:set chat-service appjson-path dokku/chat-service/app.json </dev/null
dokku ps:set chat-service stop-timeout-seconds 60 </dev/null
dokku checks:set chat-service wait-to-retire 120 </dev/null
dokku network:set chat-service attach-post-deploy internal </dev/null
dokku ports:set chat-service http:80:8080 </dev/null
dokku storage:info media-files </dev/null >/dev/null 2>&1 || dokku storage:create media-files --chown heroku </dev/null
dokku storage:list chat-service </dev/null | grep -qF media-files || dokku storage:mount chat-service media-files --container-dir /media </dev/null
dokku redis:links scenextras-cache </dev/null | grep -qx chat-service || dokku redis:link scenextras-cache chat-service --alias REDIS --no-restart </dev/null
dokku rabbitmq:links scenextras-queue </dev/null | grep -qx chat-service || dokku rabbitmq:link scenextras-queue chat-service --alias RABBITMQ --no-restart </dev/null
dokku postgres:links chat-db </dev/null | grep -qx chat-service || dokku postgres:link chat-db chat-service --alias CHAT_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart chat-service CHAT_DB_ADMIN_URL </dev/null
dokku postgres:links scenextras-db </dev/null | grep -qx chat-service || dokku postgres:link scenextras-db chat-service --alias SCENEXTRAS_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart chat-service SCENEXTRAS_DB_ADMIN_URL </dev/null
ALLOWED_ORIGINS=https://scenextras.com,https://www.scenextras.com DATABASE_URL="postgresql://chat_owner:${chat_owner_password}@dokku-postgres-chat-db:5432/chat_db" ENVIRONMENT=production HOST=0.0.0.0 JWT_SECRETS="$JWT_SECRETS" LOG_LEVEL=info MEDIA_DIR=/media PROVIDERS=live PUBLIC_BASE_URL=https://api.scenextras.com SHARED_DATABASE_URL="postgresql://chat:${chat_password}@dokku-postgres-scenextras-db:5432/scenextras_db" json_of ALLOWED_ORIGINS DATABASE_URL ENVIRONMENT HOST JWT_SECRETS LOG_LEVEL MEDIA_DIR PROVIDERS PUBLIC_BASE_URL SHARED_DATABASE_URL |
  dokku --quiet config:import --no-restart --format json chat-service -
dokku resource:limit --process-type web --memory 512m --cpu 1 chat-service </dev/null
dokku resource:limit --process-type worker --memory 512m chat-service </dev/null
dokku ps:scale --skip-deploy chat-service web=2 worker=1 </dev/null
dokku proxy:disable chat-service </dev/null

echo 'done; now deploy with: migrate deploy chat-service'

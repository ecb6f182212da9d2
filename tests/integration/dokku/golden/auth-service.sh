# ---- host
dokku apps:set --global disable-autocreation true </dev/null
dokku network:exists internal </dev/null >/dev/null 2>&1 || dokku network:create internal </dev/null

# ---- store scenextras-db
dokku postgres:exists scenextras-db </dev/null >/dev/null 2>&1 || dokku postgres:create scenextras-db --image-version 17.6 --config-options '-c wal_level=logical -c max_replication_slots=40 -c max_wal_senders=40 -c max_logical_replication_workers=16 -c max_worker_processes=24 -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect scenextras-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "auth"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "auth" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${auth_password}';
GRANT USAGE ON SCHEMA "public" TO "auth";
COMMIT;
SQL

# ---- store scenextras-cache
dokku redis:exists scenextras-cache </dev/null >/dev/null 2>&1 || dokku redis:create scenextras-cache --image-version 8.2 </dev/null

# ---- store scenextras-queue
dokku rabbitmq:exists scenextras-queue </dev/null >/dev/null 2>&1 || dokku rabbitmq:create scenextras-queue --image-version 4.2-management </dev/null

# ---- app auth-service
dokku apps:exists auth-service </dev/null >/dev/null 2>&1 || dokku apps:create auth-service </dev/null
dokku git:set auth-service deploy-branch main </dev/null
dokku builder:set auth-service selected dockerfile </dev/null
dokku builder-dockerfile:set auth-service dockerfile-path dokku/Dockerfile </dev/null
dokku ps:set auth-service procfile-path dokku/auth-service/Procfile </dev/null
dokku app-json:set auth-service appjson-path dokku/auth-service/app.json </dev/null
dokku ps:set auth-service stop-timeout-seconds 60 </dev/null
dokku network:set auth-service attach-post-deploy internal </dev/null
dokku ports:set auth-service http:80:8080 </dev/null
dokku redis:links scenextras-cache </dev/null | grep -qx auth-service || dokku redis:link scenextras-cache auth-service --alias REDIS --no-restart </dev/null
dokku rabbitmq:links scenextras-queue </dev/null | grep -qx auth-service || dokku rabbitmq:link scenextras-queue auth-service --alias RABBITMQ --no-restart </dev/null
dokku postgres:links scenextras-db </dev/null | grep -qx auth-service || dokku postgres:link scenextras-db auth-service --alias SCENEXTRAS_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart auth-service SCENEXTRAS_DB_ADMIN_URL </dev/null
ALLOWED_ORIGINS=https://scenextras.com,https://www.scenextras.com ANALYTICS_URL=http://analytics-service.web:8080 CHAT_URL=http://chat-service.web:8080 COMMUNITY_URL=http://community-service.web:8080 CONTENT_URL=http://content-service.web:8080 ENVIRONMENT=production HOST=0.0.0.0 JWT_SECRETS="$JWT_SECRETS" LOG_LEVEL=info MEDIA_URL=http://media-service.web:8080 MONOLITH_URL=http://api-monolith.web:8080 OWNER_API_URL=http://router.web:8080 PAYMENTS_URL=http://payment-service.web:8080 PROVIDERS=live PUBLIC_BASE_URL=https://api.scenextras.com SHARED_DATABASE_URL="postgresql://auth:${auth_password}@dokku-postgres-scenextras-db:5432/scenextras_db" json_of ALLOWED_ORIGINS ANALYTICS_URL CHAT_URL COMMUNITY_URL CONTENT_URL ENVIRONMENT HOST JWT_SECRETS LOG_LEVEL MEDIA_URL MONOLITH_URL OWNER_API_URL PAYMENTS_URL PROVIDERS PUBLIC_BASE_URL SHARED_DATABASE_URL |
  dokku --quiet config:import --no-restart --format json auth-service -
dokku resource:limit --process-type web --memory 512m auth-service </dev/null
dokku resource:limit --process-type worker --memory 256m auth-service </dev/null
dokku ps:scale --skip-deploy auth-service web=2 worker=1 </dev/null
dokku proxy:disable auth-service </dev/null

echo 'done; now deploy with: migrate deploy auth-service'

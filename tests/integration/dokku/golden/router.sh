# ---- host
dokku apps:set --global disable-autocreation true </dev/null
dokku network:exists internal </dev/null >/dev/null 2>&1 || dokku network:create internal </dev/null
dokku letsencrypt:set --global email ops@scenextras.com </dev/null

# ---- store scenextras-db
dokku postgres:exists scenextras-db </dev/null >/dev/null 2>&1 || dokku postgres:create scenextras-db --image-version 17.6 --config-options '-c wal_level=logical -c max_replication_slots=40 -c max_wal_senders=40 -c max_logical_replication_workers=16 -c max_worker_processes=24 -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect scenextras-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "router"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "router" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${router_password}';
DO \$\$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), 'router'); END \$\$;
CREATE SCHEMA IF NOT EXISTS "strangler";
GRANT CREATE, USAGE ON SCHEMA "strangler" TO "router";
COMMIT;
SQL

# ---- store scenextras-cache
dokku redis:exists scenextras-cache </dev/null >/dev/null 2>&1 || dokku redis:create scenextras-cache --image-version 8.2 </dev/null

# ---- store scenextras-queue
dokku rabbitmq:exists scenextras-queue </dev/null >/dev/null 2>&1 || dokku rabbitmq:create scenextras-queue --image-version 4.2-management </dev/null

# ---- app router
dokku apps:exists router </dev/null >/dev/null 2>&1 || dokku apps:create router </dev/null
dokku git:set router deploy-branch main </dev/null
dokku builder:set router selected dockerfile </dev/null
dokku builder-dockerfile:set router dockerfile-path dokku/Dockerfile </dev/null
dokku ps:set router procfile-path dokku/router/Procfile </dev/null
dokku app-json:set router appjson-path dokku/router/app.json </dev/null
dokku ps:set router stop-timeout-seconds 60 </dev/null
dokku checks:set router wait-to-retire 120 </dev/null
dokku network:set router attach-post-create internal </dev/null
dokku ports:set router http:80:8080 </dev/null
dokku storage:info router-state </dev/null >/dev/null 2>&1 || dokku storage:create router-state --chown heroku </dev/null
dokku storage:list router </dev/null | grep -qF router-state || dokku storage:mount router router-state --container-dir /state </dev/null
dokku redis:links scenextras-cache </dev/null | grep -qx router || dokku redis:link scenextras-cache router --alias REDIS --no-restart </dev/null
dokku rabbitmq:links scenextras-queue </dev/null | grep -qx router || dokku rabbitmq:link scenextras-queue router --alias RABBITMQ --no-restart </dev/null
dokku postgres:links scenextras-db </dev/null | grep -qx router || dokku postgres:link scenextras-db router --alias SCENEXTRAS_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart router SCENEXTRAS_DB_ADMIN_URL </dev/null
ADMIN_HOST=0.0.0.0 ADMIN_TOKEN="$ROUTER_ADMIN_TOKEN" ALLOWED_ORIGINS=https://scenextras.com,https://www.scenextras.com ANALYTICS_URL=http://analytics-service.web:8080 AUTH_URL=http://auth-service.web:8080 CHAT_URL=http://chat-service.web:8080 COMMUNITY_URL=http://community-service.web:8080 CONTENT_URL=http://content-service.web:8080 ENVIRONMENT=production HOST=0.0.0.0 JWT_SECRETS="$JWT_SECRETS" LOG_LEVEL=info MEDIA_URL=http://media-service.web:8080 MONOLITH_URL=http://api-monolith.web:8080 PAYMENTS_URL=http://payment-service.web:8080 PROVIDERS=live PUBLIC_BASE_URL=https://api.scenextras.com SHARED_DATABASE_URL="postgresql://router:${router_password}@dokku-postgres-scenextras-db:5432/scenextras_db" SNAPSHOT_PATH=/state/snapshot.json json_of ADMIN_HOST ADMIN_TOKEN ALLOWED_ORIGINS ANALYTICS_URL AUTH_URL CHAT_URL COMMUNITY_URL CONTENT_URL ENVIRONMENT HOST JWT_SECRETS LOG_LEVEL MEDIA_URL MONOLITH_URL PAYMENTS_URL PROVIDERS PUBLIC_BASE_URL SHARED_DATABASE_URL SNAPSHOT_PATH |
  dokku --quiet config:import --no-restart --format json router -
dokku resource:limit --process-type web --memory 512m --cpu 2 router </dev/null
dokku domains:set router api.scenextras.com </dev/null
dokku nginx:set router proxy-buffering off </dev/null
dokku nginx:set router proxy-read-timeout 3600s </dev/null
dokku nginx:set router proxy-send-timeout 3600s </dev/null
dokku nginx:set router send-timeout 3600s </dev/null
dokku nginx:set router client-max-body-size 50m </dev/null
dokku nginx:set router hsts-include-subdomains false </dev/null

echo 'done; now deploy with: migrate deploy router'

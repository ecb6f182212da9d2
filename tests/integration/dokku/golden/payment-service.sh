# ---- host
dokku apps:set --global disable-autocreation true </dev/null
dokku network:exists internal </dev/null >/dev/null 2>&1 || dokku network:create internal </dev/null

# ---- store scenextras-db
dokku postgres:exists scenextras-db </dev/null >/dev/null 2>&1 || dokku postgres:create scenextras-db --image-version 17.6 --config-options '-c wal_level=logical -c max_replication_slots=40 -c max_wal_senders=40 -c max_logical_replication_workers=16 -c max_worker_processes=24 -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null
dokku postgres:connect scenextras-db <<SQL
BEGIN;
DO \$\$ BEGIN CREATE ROLE "payments"; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
ALTER ROLE "payments" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '${payments_password}';
GRANT USAGE ON SCHEMA "public" TO "payments";
COMMIT;
SQL

# ---- store scenextras-cache
dokku redis:exists scenextras-cache </dev/null >/dev/null 2>&1 || dokku redis:create scenextras-cache --image-version 8.2 </dev/null

# ---- store scenextras-queue
dokku rabbitmq:exists scenextras-queue </dev/null >/dev/null 2>&1 || dokku rabbitmq:create scenextras-queue --image-version 4.2-management </dev/null

# ---- app payment-service
dokku apps:exists payment-service </dev/null >/dev/null 2>&1 || dokku apps:create payment-service </dev/null
dokku git:set payment-service deploy-branch main </dev/null
dokku builder:set payment-service selected dockerfile </dev/null
dokku builder-dockerfile:set payment-service dockerfile-path dokku/Dockerfile </dev/null
dokku ps:set payment-service procfile-path dokku/payment-service/Procfile </dev/null
dokku app-json:set payment-service appjson-path dokku/payment-service/app.json </dev/null
dokku ps:set payment-service stop-timeout-seconds 60 </dev/null
dokku network:set payment-service attach-post-deploy internal </dev/null
dokku ports:set payment-service http:80:8080 </dev/null
dokku redis:links scenextras-cache </dev/null | grep -qx payment-service || dokku redis:link scenextras-cache payment-service --alias REDIS --no-restart </dev/null
dokku rabbitmq:links scenextras-queue </dev/null | grep -qx payment-service || dokku rabbitmq:link scenextras-queue payment-service --alias RABBITMQ --no-restart </dev/null
dokku postgres:links scenextras-db </dev/null | grep -qx payment-service || dokku postgres:link scenextras-db payment-service --alias SCENEXTRAS_DB_ADMIN --no-restart </dev/null
dokku config:unset --no-restart payment-service SCENEXTRAS_DB_ADMIN_URL </dev/null
ALLOWED_ORIGINS=https://scenextras.com,https://www.scenextras.com ENVIRONMENT=production HOST=0.0.0.0 JWT_SECRETS="$JWT_SECRETS" LOG_LEVEL=info PAYMENTS_LIVEMODE=true PROVIDERS=live PUBLIC_BASE_URL=https://api.scenextras.com SHARED_DATABASE_URL="postgresql://payments:${payments_password}@dokku-postgres-scenextras-db:5432/scenextras_db" json_of ALLOWED_ORIGINS ENVIRONMENT HOST JWT_SECRETS LOG_LEVEL PAYMENTS_LIVEMODE PROVIDERS PUBLIC_BASE_URL SHARED_DATABASE_URL |
  dokku --quiet config:import --no-restart --format json payment-service -
dokku resource:limit --process-type web --memory 512m payment-service </dev/null
dokku resource:limit --process-type worker --memory 256m payment-service </dev/null
dokku ps:scale --skip-deploy payment-service web=2 worker=1 </dev/null
dokku proxy:disable payment-service </dev/null

echo 'done; now deploy with: migrate deploy payment-service'

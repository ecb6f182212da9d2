# ---- host
dokku apps:set --global disable-autocreation true </dev/null
dokku network:exists internal </dev/null >/dev/null 2>&1 || dokku network:create internal </dev/null

# ---- store scenextras-db
dokku postgres:exists scenextras-db </dev/null >/dev/null 2>&1 || dokku postgres:create scenextras-db --image-version 17.6 --config-options '-c wal_level=logical -c max_replication_slots=40 -c max_wal_senders=40 -c max_logical_replication_workers=16 -c max_worker_processes=24 -c wal_retrieve_retry_interval=500ms' --post-create-network internal </dev/null

# ---- store scenextras-cache
dokku redis:exists scenextras-cache </dev/null >/dev/null 2>&1 || dokku redis:create scenextras-cache --image-version 8.2 </dev/null

# ---- store scenextras-queue
dokku rabbitmq:exists scenextras-queue </dev/null >/dev/null 2>&1 || dokku rabbitmq:create scenextras-queue --image-version 4.2-management </dev/null

# ---- app operator
dokku apps:exists operator </dev/null >/dev/null 2>&1 || dokku apps:create operator </dev/null
dokku git:set operator deploy-branch main </dev/null
dokku builder:set operator selected dockerfile </dev/null
dokku builder-dockerfile:set operator dockerfile-path dokku/Dockerfile </dev/null
dokku ps:set operator procfile-path dokku/operator/Procfile </dev/null
dokku app-json:set operator appjson-path dokku/operator/app.json </dev/null
dokku network:set operator attach-post-create internal </dev/null
dokku ports:set operator http:80:8080 </dev/null
dokku storage:info operator-backups </dev/null >/dev/null 2>&1 || dokku storage:create operator-backups --chown heroku </dev/null
dokku storage:list operator </dev/null | grep -qF operator-backups || dokku storage:mount operator operator-backups --container-dir /backups </dev/null
dokku docker-options:report operator </dev/null | grep -qF -- '--build-arg POSTGRES_CLIENT=17' || dokku docker-options:add operator build '--build-arg POSTGRES_CLIENT=17' </dev/null
dokku redis:links scenextras-cache </dev/null | grep -qx operator || dokku redis:link scenextras-cache operator --alias REDIS --no-restart </dev/null
dokku rabbitmq:links scenextras-queue </dev/null | grep -qx operator || dokku rabbitmq:link scenextras-queue operator --alias RABBITMQ --no-restart </dev/null
dokku postgres:links scenextras-db </dev/null | grep -qx operator || dokku postgres:link scenextras-db operator --alias SHARED_DATABASE --no-restart </dev/null
ADMIN_TOKEN="$ROUTER_ADMIN_TOKEN" ALLOWED_ORIGINS=https://scenextras.com,https://www.scenextras.com BACKUP_DIRECTORY=/backups ENVIRONMENT=production HOST=0.0.0.0 JWT_SECRETS="$JWT_SECRETS" LOG_LEVEL=info PROVIDERS=live PUBLIC_BASE_URL=https://api.scenextras.com ROUTER_ADMIN_URL=http://router.web:9090 json_of ADMIN_TOKEN ALLOWED_ORIGINS BACKUP_DIRECTORY ENVIRONMENT HOST JWT_SECRETS LOG_LEVEL PROVIDERS PUBLIC_BASE_URL ROUTER_ADMIN_URL |
  dokku --quiet config:import --no-restart --format json operator -
dokku ps:scale --skip-deploy operator web=0 </dev/null
dokku proxy:disable operator </dev/null

echo 'done; now deploy with: migrate deploy operator'

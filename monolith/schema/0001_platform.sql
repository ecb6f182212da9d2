-- Platform: touch_updated_at, outbox, inbox, webhook inbox, idempotency keys, maintenance, emit_event.

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.updated_at := clock_timestamp(); RETURN NEW; END $$;
CREATE TABLE outbox (  -- one copy in EVERY database; owner: whoever owns the database
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id uuid NOT NULL UNIQUE, type text NOT NULL, partition_key text NOT NULL, body jsonb NOT NULL,
  headers jsonb NOT NULL DEFAULT '{}', created_at timestamptz NOT NULL DEFAULT now(), deliver_after timestamptz, attempts integer NOT NULL DEFAULT 0,
  last_error text, sent_at timestamptz);
CREATE INDEX outbox_due ON outbox (id) WHERE sent_at IS NULL;
CREATE TABLE inbox (  -- one copy in every database; consumer = domain
  consumer text NOT NULL, event_id uuid NOT NULL, type text NOT NULL, handled_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (consumer, event_id));
CREATE TABLE webhook_inbox (  -- owners: auth (supabase, clerk) and payments (stripe, revenuecat); stays shared
  provider text NOT NULL CHECK (provider IN ('stripe','revenuecat','supabase','clerk')), event_id text NOT NULL, event_type text NOT NULL,
  raw bytea NOT NULL, headers jsonb NOT NULL DEFAULT '{}', received_by text NOT NULL, user_id uuid, status text NOT NULL DEFAULT 'received' CHECK (status IN ('received','processed','ignored','deferred','failed')),
  attempts integer NOT NULL DEFAULT 0, error text, provider_created_at timestamptz, received_at timestamptz NOT NULL DEFAULT now(), processed_at timestamptz,
  PRIMARY KEY (provider, event_id));
CREATE INDEX webhook_inbox_open ON webhook_inbox (received_at) WHERE status IN ('received','deferred','failed');
CREATE TABLE idempotency_keys (  -- written by every service; stays shared
  user_id uuid NOT NULL, route text NOT NULL, key text NOT NULL, request_hash text NOT NULL,
  state text NOT NULL DEFAULT 'in_progress' CHECK (state IN ('in_progress','completed')), status smallint, content_type text, body bytea,
  locked_until timestamptz NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL DEFAULT now() + interval '24 hours',
  PRIMARY KEY (user_id, route, key));
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
CREATE TABLE maintenance_modes (  -- written by operators, read by every service; stays shared
  scope text PRIMARY KEY CHECK (scope IN ('all','auth','chat','payments','content','media','community','analytics')),
  mode text NOT NULL DEFAULT 'off' CHECK (mode IN ('off','read_only','full')), message text, until timestamptz, updated_at timestamptz NOT NULL DEFAULT now());


CREATE FUNCTION emit_event(p_type text, p_user uuid, p_data jsonb, p_source text, p_request text DEFAULT NULL, p_trace text DEFAULT NULL, p_version int DEFAULT 1)
RETURNS uuid LANGUAGE sql AS $$
  WITH n AS (SELECT gen_random_uuid() AS id)
  INSERT INTO outbox (event_id, type, partition_key, body)
  SELECT n.id, p_type, COALESCE(p_user::text, p_source), jsonb_build_object('specversion', '1.0', 'id', n.id, 'type', p_type, 'version', p_version,
    'source', '/' || p_source, 'time', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'subject', p_user,
    'requestid', p_request, 'traceparent', p_trace, 'datacontenttype', 'application/json', 'data', p_data) FROM n
  RETURNING event_id $$;

-- What every database has of its own (contract, 3): outgoing and handled events, two functions.
-- Every statement may be repeated.

CREATE OR REPLACE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.updated_at := clock_timestamp(); RETURN NEW; END $$;

CREATE TABLE IF NOT EXISTS outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id uuid NOT NULL UNIQUE,
  type text NOT NULL,
  partition_key text NOT NULL,
  body jsonb NOT NULL,
  headers jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  deliver_after timestamptz,
  attempts integer NOT NULL DEFAULT 0,
  last_error text,
  sent_at timestamptz
);
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (id) WHERE sent_at IS NULL;

CREATE TABLE IF NOT EXISTS inbox (
  consumer text NOT NULL,
  event_id uuid NOT NULL,
  type text NOT NULL,
  handled_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, event_id)
);

CREATE OR REPLACE FUNCTION emit_event(
  p_type text, p_user uuid, p_data jsonb, p_source text,
  p_request text DEFAULT NULL, p_trace text DEFAULT NULL, p_version int DEFAULT 1
) RETURNS uuid LANGUAGE sql AS $$
  WITH n AS (SELECT gen_random_uuid() AS id)
  INSERT INTO outbox (event_id, type, partition_key, body)
  SELECT n.id, p_type, COALESCE(p_user::text, p_source), jsonb_build_object(
    'specversion', '1.0', 'id', n.id, 'type', p_type, 'version', p_version,
    'source', '/' || p_source,
    'time', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'subject', p_user, 'requestid', p_request, 'traceparent', p_trace,
    'datacontenttype', 'application/json', 'data', p_data) FROM n
  RETURNING event_id $$;
REVOKE EXECUTE ON FUNCTION emit_event(text, uuid, jsonb, text, text, text, int) FROM PUBLIC;

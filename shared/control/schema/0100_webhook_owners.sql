-- Which side applies the webhooks of a provider and type. Rows that are stored and not yet applied
-- move with the owner, so handing over and back loses and doubles nothing.
CREATE TABLE strangler.webhook_owners (
  provider text NOT NULL,
  event_type text NOT NULL,               -- '*': every type that has no row of its own
  owner text NOT NULL CHECK (owner IN ('monolith', 'service')),
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (provider, event_type)
);

-- Trigger of the inbox, put on it when the first owner is set. A session says who it is in the
-- setting strangler.side; one that says nothing is the monolith, which knows nothing of owners.
-- Its effect is refused, and with it rolled back; its note of the failure is dropped.
CREATE FUNCTION strangler.guard_webhook_owner() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  side text := coalesce(nullif(current_setting('strangler.side', true), ''), 'monolith');
  rightful text;
BEGIN
  SELECT o.owner INTO rightful FROM strangler.webhook_owners o
   WHERE o.provider = OLD.provider AND o.event_type IN (OLD.event_type, '*')
   ORDER BY o.event_type = '*' LIMIT 1;
  IF rightful IS NULL OR side IN (rightful, 'operator') THEN
    RETURN NEW;
  END IF;
  IF NEW.status IN ('processed', 'ignored') THEN
    RAISE EXCEPTION 'webhooks % % are applied by the %', OLD.provider, OLD.event_type, rightful
      USING ERRCODE = 'SP004';
  END IF;
  RETURN NULL;
END $$;
REVOKE ALL ON strangler.webhook_owners FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION strangler.guard_webhook_owner() FROM PUBLIC;

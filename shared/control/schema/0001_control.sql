-- The control store. One row of `control` serialises every write and numbers it.
CREATE TABLE strangler.control (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version bigint NOT NULL
);
INSERT INTO strangler.control (version) VALUES (1);

CREATE TABLE strangler.flags (
  route text PRIMARY KEY,
  service text NOT NULL,
  writes boolean NOT NULL,                -- copied from the manifest, so that constraints can see it
  percent numeric(5, 2) NOT NULL DEFAULT 0 CHECK (percent BETWEEN 0 AND 100),
  shadow_percent numeric(5, 2) NOT NULL DEFAULT 0 CHECK (shadow_percent BETWEEN 0 AND 100),
  salt text NOT NULL,
  allow text[] NOT NULL DEFAULT '{}',
  deny text[] NOT NULL DEFAULT '{}',
  mode text NOT NULL DEFAULT 'normal' CHECK (mode IN ('normal', 'read_only', 'maintenance')),
  hold jsonb,
  version bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX flags_service ON strangler.flags (service);

CREATE TABLE strangler.placements (
  service text PRIMARY KEY,
  state text NOT NULL DEFAULT 'shared' CHECK (state IN ('shared', 'copying', 'following', 'own', 'final')),
  epoch bigint NOT NULL DEFAULT 1 CHECK (epoch > 0),
  version bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE strangler.phases (
  number smallint PRIMARY KEY CHECK (number > 0),
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'started', 'completed')),
  started_at timestamptz,
  completed_at timestamptz,
  version bigint NOT NULL
);

CREATE TABLE strangler.history (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  version bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor text NOT NULL CHECK (actor <> ''),
  reason text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('flag', 'placement', 'phase', 'register')),
  subject text NOT NULL,
  before jsonb,
  after jsonb
);
CREATE INDEX history_subject ON strangler.history (subject, id DESC);

CREATE TABLE strangler.instances (
  id text PRIMARY KEY,
  kind text NOT NULL,
  name text NOT NULL,
  host text NOT NULL,
  pid integer NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  applied_version bigint NOT NULL DEFAULT 0,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  stats jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE strangler.operations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  kind text NOT NULL,                     -- split, cutover, rollback, finalize, ramp, apply, …
  subject text NOT NULL,                  -- a service, an app or a phase
  status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'failed', 'undone')),
  actor text NOT NULL,
  data jsonb NOT NULL DEFAULT '{}',
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz
);
CREATE UNIQUE INDEX operations_running ON strangler.operations (kind, subject) WHERE status = 'running';
CREATE INDEX operations_subject ON strangler.operations (subject, started_at DESC);

CREATE TABLE strangler.journal (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  operation uuid NOT NULL REFERENCES strangler.operations (id) ON DELETE CASCADE,
  step text NOT NULL,
  status text NOT NULL CHECK (status IN ('started', 'done', 'failed', 'undone')),
  data jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX journal_operation ON strangler.journal (operation, id);

-- History and journal only grow.
CREATE FUNCTION strangler.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of %.% are never changed or deleted', TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'SP002';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON strangler.history
  FOR EACH STATEMENT EXECUTE FUNCTION strangler.refuse_change();

-- Invariants 2 and 3 once more, so that a hand-written UPDATE cannot split ownership either.
CREATE FUNCTION strangler.check_ownership() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
  SELECT f.route, f.percent, p.service INTO bad
    FROM strangler.flags f JOIN strangler.placements p USING (service)
   WHERE f.writes AND p.state IN ('own', 'final') AND (f.percent <> 100 OR f.deny <> '{}')
   ORDER BY f.route LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'route % writes and the tables of % are in its own database: it must stay at 100 percent, not %',
      bad.route, bad.service, bad.percent USING ERRCODE = 'SP003';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ownership AFTER INSERT OR UPDATE ON strangler.flags
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION strangler.check_ownership();
CREATE CONSTRAINT TRIGGER ownership AFTER INSERT OR UPDATE ON strangler.placements
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION strangler.check_ownership();

REVOKE ALL ON SCHEMA strangler FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA strangler FROM PUBLIC;

-- The catalogue in a database of its own: as in the contract (3), without the key that crosses to
-- users. A split brings these tables with their rows; then nothing here has anything to do.

CREATE TABLE IF NOT EXISTS titles (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  format text NOT NULL CHECK (format IN ('movie','series')),
  category text NOT NULL DEFAULT 'live_action' CHECK (category IN ('live_action','anime','cartoon')),
  title text NOT NULL,
  title_norm text NOT NULL,
  year smallint,
  overview text NOT NULL DEFAULT '',
  poster_url text,
  genres text[] NOT NULL DEFAULT '{}',
  popularity double precision NOT NULL DEFAULT 0,
  tmdb_id integer,
  tvdb_id integer,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (format, tmdb_id)
);
CREATE INDEX IF NOT EXISTS titles_popular ON titles (format, popularity DESC, id DESC);
CREATE INDEX IF NOT EXISTS titles_norm ON titles (title_norm text_pattern_ops);

CREATE TABLE IF NOT EXISTS actors (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text NOT NULL,
  name_norm text NOT NULL,
  bio text NOT NULL DEFAULT '',
  image_url text,
  popularity double precision NOT NULL DEFAULT 0,
  tmdb_id integer UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS actors_norm ON actors (name_norm text_pattern_ops);

CREATE TABLE IF NOT EXISTS characters (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text NOT NULL,
  name_norm text NOT NULL,
  series text NOT NULL DEFAULT '',
  title_id uuid REFERENCES titles(id) ON DELETE SET NULL,
  actor_id uuid REFERENCES actors(id) ON DELETE SET NULL,
  description text NOT NULL DEFAULT '',
  image_url text,
  popularity double precision NOT NULL DEFAULT 0,
  source text NOT NULL DEFAULT 'catalogue' CHECK (source IN ('catalogue','community')),
  creator_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS characters_norm ON characters (name_norm text_pattern_ops);
CREATE INDEX IF NOT EXISTS characters_title ON characters (title_id);
CREATE INDEX IF NOT EXISTS characters_actor ON characters (actor_id);

CREATE TABLE IF NOT EXISTS provider_cache (
  cache_key text PRIMARY KEY,
  body jsonb NOT NULL,
  expires_at timestamptz NOT NULL
);

CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON titles
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON actors
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON characters
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

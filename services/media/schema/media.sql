-- Images in a database of their own: as in the contract (3), without the key that crosses to users.
-- A split brings this table with its rows; then nothing here has anything to do.

CREATE TABLE IF NOT EXISTS media_metadata (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('upload','generated','chat')),
  purpose text NOT NULL DEFAULT 'other' CHECK (purpose IN ('avatar','story','character','chat','other')),
  content_type text NOT NULL CHECK (content_type IN ('image/png','image/jpeg','image/webp')),
  bytes integer NOT NULL CHECK (bytes > 0),
  width integer,
  height integer,
  sha256 char(64) NOT NULL,
  storage_key text NOT NULL UNIQUE,
  prompt text,
  model text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS media_metadata_user ON media_metadata (user_id, created_at DESC, id DESC);

CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON media_metadata
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

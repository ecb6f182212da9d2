-- Conversations in a database of their own: as in the contract (3), without the keys that cross to
-- users and characters. A split brings these tables with their rows; then nothing here has anything
-- to do.

CREATE TABLE IF NOT EXISTS conversations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL,
  conversation_type text NOT NULL DEFAULT 'single' CHECK (conversation_type IN ('single','group')),
  title text NOT NULL CHECK (char_length(title) <= 120),
  character_name text,
  character_series text NOT NULL DEFAULT '',
  character_id uuid,
  participants jsonb NOT NULL DEFAULT '[]',
  token_count bigint NOT NULL DEFAULT 0,
  message_count integer NOT NULL DEFAULT 0,
  last_seq bigint NOT NULL DEFAULT 0,
  completed_seq bigint NOT NULL DEFAULT 0,
  last_message_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((conversation_type = 'single') = (character_name IS NOT NULL)),
  CHECK (jsonb_typeof(participants) = 'array')
);
CREATE INDEX IF NOT EXISTS conversations_user
  ON conversations (user_id, last_message_at DESC, id DESC);

CREATE TABLE IF NOT EXISTS messages (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  conversation_id uuid NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
  seq bigint NOT NULL,
  role text NOT NULL CHECK (role IN ('user','assistant')),
  sender text NOT NULL,
  content text NOT NULL,
  message_type text NOT NULL DEFAULT 'text' CHECK (message_type IN ('text','image','audio')),
  media_id uuid,
  model text,
  tokens integer,
  truncated boolean NOT NULL DEFAULT false,
  pinned boolean NOT NULL DEFAULT false,
  edited_at timestamptz,
  reservation_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (conversation_id, seq)
);
CREATE INDEX IF NOT EXISTS messages_pinned ON messages (conversation_id, seq) WHERE pinned;

CREATE TABLE IF NOT EXISTS message_reactions (
  message_id uuid NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
  user_id uuid NOT NULL,
  reaction_type text NOT NULL CHECK (reaction_type IN ('like','dislike')),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (message_id, user_id)
);

CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON conversations
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON messages
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON message_reactions
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

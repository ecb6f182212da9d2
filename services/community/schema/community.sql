-- Stories, rooms, scenarios, votes, characters and notifications in a database of their own: as in the
-- contract (3), without the keys that cross to users, conversations and images. A split brings these
-- tables with their rows; then nothing here has anything to do.

CREATE TABLE IF NOT EXISTS stories (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL,
  conversation_id uuid,
  title text NOT NULL CHECK (char_length(title) <= 200),
  content text NOT NULL,
  universe text NOT NULL DEFAULT '',
  characters jsonb NOT NULL DEFAULT '[]',
  scenario jsonb NOT NULL DEFAULT '{}',
  published boolean NOT NULL DEFAULT false,
  published_at timestamptz,
  view_count integer NOT NULL DEFAULT 0,
  like_count integer NOT NULL DEFAULT 0 CHECK (like_count >= 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK (published = (published_at IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS stories_new ON stories (published_at DESC, id DESC) WHERE published;
CREATE INDEX IF NOT EXISTS stories_top ON stories (like_count DESC, id DESC) WHERE published;
CREATE INDEX IF NOT EXISTS stories_user ON stories (user_id, created_at DESC, id DESC);

CREATE TABLE IF NOT EXISTS story_likes (
  story_id uuid NOT NULL REFERENCES stories(id) ON DELETE CASCADE,
  user_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (story_id, user_id)
);

CREATE TABLE IF NOT EXISTS fandom_rooms (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  creator_id uuid NOT NULL,
  name text NOT NULL CHECK (char_length(name) <= 80),
  description text NOT NULL DEFAULT '',
  universe text NOT NULL DEFAULT '',
  is_public boolean NOT NULL DEFAULT false,
  max_members smallint NOT NULL DEFAULT 50 CHECK (max_members BETWEEN 2 AND 200),
  join_code text NOT NULL UNIQUE CHECK (join_code ~ '^[A-Z2-7]{8}$'),
  member_count smallint NOT NULL DEFAULT 0 CHECK (member_count BETWEEN 0 AND max_members),
  last_seq bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS fandom_rooms_public ON fandom_rooms (created_at DESC, id DESC) WHERE is_public;

CREATE TABLE IF NOT EXISTS room_members (
  room_id uuid NOT NULL REFERENCES fandom_rooms(id) ON DELETE CASCADE,
  user_id uuid NOT NULL,
  role text NOT NULL DEFAULT 'member' CHECK (role IN ('owner','member')),
  joined_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (room_id, user_id)
);
CREATE INDEX IF NOT EXISTS room_members_user ON room_members (user_id);

CREATE TABLE IF NOT EXISTS room_messages (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  room_id uuid NOT NULL REFERENCES fandom_rooms(id) ON DELETE CASCADE,
  seq bigint NOT NULL,
  user_id uuid,
  content text NOT NULL CHECK (char_length(content) <= 2000),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (room_id, seq)
);

CREATE TABLE IF NOT EXISTS scenarios (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  creator_id uuid,
  title text NOT NULL CHECK (char_length(title) <= 200),
  description text NOT NULL DEFAULT '',
  characters jsonb NOT NULL DEFAULT '[]',
  setting text NOT NULL DEFAULT '',
  tone text NOT NULL DEFAULT '',
  is_public boolean NOT NULL DEFAULT false,
  view_count integer NOT NULL DEFAULT 0,
  use_count integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS scenarios_public ON scenarios (created_at DESC, id DESC) WHERE is_public;
CREATE INDEX IF NOT EXISTS scenarios_creator ON scenarios (creator_id, created_at DESC, id DESC);

CREATE TABLE IF NOT EXISTS community_characters (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  creator_id uuid NOT NULL,
  name text NOT NULL CHECK (char_length(name) <= 120),
  universe text NOT NULL DEFAULT '',
  description text NOT NULL DEFAULT '',
  personality text NOT NULL DEFAULT '',
  image_media_id uuid,
  published boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS community_characters_creator ON community_characters (creator_id);

CREATE TABLE IF NOT EXISTS community_votes (
  target_type text NOT NULL CHECK (target_type IN ('story','scenario','character','room')),
  target_id uuid NOT NULL,
  user_id uuid NOT NULL,
  value smallint NOT NULL CHECK (value IN (-1,1)),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (target_type, target_id, user_id)
);

CREATE TABLE IF NOT EXISTS notifications (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL,
  kind text NOT NULL,
  title text NOT NULL,
  body text NOT NULL DEFAULT '',
  data jsonb NOT NULL DEFAULT '{}',
  dedupe_key text NOT NULL,
  read_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (user_id, dedupe_key)
);
CREATE INDEX IF NOT EXISTS notifications_user ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS notifications_unread ON notifications (user_id) WHERE read_at IS NULL;

CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON stories
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON story_likes
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON fandom_rooms
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON room_members
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON room_messages
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON scenarios
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON community_characters
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON community_votes
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON notifications
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

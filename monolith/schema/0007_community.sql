-- Stories, rooms, scenarios, characters of users, votes, notifications.

CREATE TABLE stories (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL, conversation_id uuid,
  title text NOT NULL CHECK (char_length(title) <= 200), content text NOT NULL, universe text NOT NULL DEFAULT '', characters jsonb NOT NULL DEFAULT '[]',
  scenario jsonb NOT NULL DEFAULT '{}', published boolean NOT NULL DEFAULT false, published_at timestamptz, view_count integer NOT NULL DEFAULT 0,
  like_count integer NOT NULL DEFAULT 0 CHECK (like_count >= 0), created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK (published = (published_at IS NOT NULL)));
CREATE INDEX stories_new ON stories (published_at DESC, id DESC) WHERE published;
CREATE INDEX stories_top ON stories (like_count DESC, id DESC) WHERE published; CREATE INDEX stories_user ON stories (user_id, created_at DESC, id DESC);
CREATE TABLE story_likes (story_id uuid NOT NULL REFERENCES stories(id) ON DELETE CASCADE, user_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (story_id, user_id));
CREATE TABLE fandom_rooms (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), creator_id uuid NOT NULL, name text NOT NULL CHECK (char_length(name) <= 80),
  description text NOT NULL DEFAULT '', universe text NOT NULL DEFAULT '', is_public boolean NOT NULL DEFAULT false,
  max_members smallint NOT NULL DEFAULT 50 CHECK (max_members BETWEEN 2 AND 200), join_code text NOT NULL UNIQUE CHECK (join_code ~ '^[A-Z2-7]{8}$'),
  member_count smallint NOT NULL DEFAULT 0 CHECK (member_count BETWEEN 0 AND max_members), last_seq bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX fandom_rooms_public ON fandom_rooms (created_at DESC, id DESC) WHERE is_public;
CREATE TABLE room_members (room_id uuid NOT NULL REFERENCES fandom_rooms(id) ON DELETE CASCADE, user_id uuid NOT NULL,
  role text NOT NULL DEFAULT 'member' CHECK (role IN ('owner','member')), joined_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (room_id, user_id));
CREATE INDEX room_members_user ON room_members (user_id);
CREATE TABLE room_messages (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), room_id uuid NOT NULL REFERENCES fandom_rooms(id) ON DELETE CASCADE,
  seq bigint NOT NULL, user_id uuid, content text NOT NULL CHECK (char_length(content) <= 2000), created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(), UNIQUE (room_id, seq));
CREATE TABLE scenarios (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), creator_id uuid, title text NOT NULL CHECK (char_length(title) <= 200),
  description text NOT NULL DEFAULT '', characters jsonb NOT NULL DEFAULT '[]', setting text NOT NULL DEFAULT '', tone text NOT NULL DEFAULT '',
  is_public boolean NOT NULL DEFAULT false, view_count integer NOT NULL DEFAULT 0, use_count integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX scenarios_public ON scenarios (created_at DESC, id DESC) WHERE is_public;
CREATE INDEX scenarios_creator ON scenarios (creator_id, created_at DESC, id DESC);
CREATE TABLE community_characters (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), creator_id uuid NOT NULL,
  name text NOT NULL CHECK (char_length(name) <= 120), universe text NOT NULL DEFAULT '', description text NOT NULL DEFAULT '',
  personality text NOT NULL DEFAULT '', image_media_id uuid, published boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX community_characters_creator ON community_characters (creator_id);
CREATE TABLE community_votes (target_type text NOT NULL CHECK (target_type IN ('story','scenario','character','room')), target_id uuid NOT NULL,
  user_id uuid NOT NULL, value smallint NOT NULL CHECK (value IN (-1,1)), created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (target_type, target_id, user_id));
CREATE TABLE notifications (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL, kind text NOT NULL, title text NOT NULL,
  body text NOT NULL DEFAULT '', data jsonb NOT NULL DEFAULT '{}', dedupe_key text NOT NULL, read_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), UNIQUE (user_id, dedupe_key));
CREATE INDEX notifications_user ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL;

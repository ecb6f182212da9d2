-- The figures in a database of their own: as in the contract (3), without the keys that cross to
-- users. A split brings these tables with their rows; then nothing here has anything to do.

CREATE TABLE IF NOT EXISTS user_analytics (
  user_id uuid PRIMARY KEY,
  message_count bigint NOT NULL DEFAULT 0,
  conversation_count bigint NOT NULL DEFAULT 0,
  story_count bigint NOT NULL DEFAULT 0,
  tokens_used bigint NOT NULL DEFAULT 0,
  xp bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS user_analytics_messages ON user_analytics (message_count);

CREATE TABLE IF NOT EXISTS user_daily_activity (
  user_id uuid NOT NULL,
  day date NOT NULL,
  messages integer NOT NULL DEFAULT 0,
  tokens bigint NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, day)
);
CREATE INDEX IF NOT EXISTS user_daily_activity_day ON user_daily_activity (day);

CREATE TABLE IF NOT EXISTS conversation_stats (
  conversation_id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  character_name text NOT NULL,
  message_count integer NOT NULL DEFAULT 0,
  token_count bigint NOT NULL DEFAULT 0,
  first_message_at timestamptz NOT NULL,
  last_message_at timestamptz NOT NULL,
  deleted_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS conversation_stats_user
  ON conversation_stats (user_id, last_message_at DESC, conversation_id DESC);

CREATE TABLE IF NOT EXISTS platform_metrics (
  day date NOT NULL,
  metric text NOT NULL,
  value bigint NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (day, metric)
);

CREATE TABLE IF NOT EXISTS user_streaks (
  user_id uuid PRIMARY KEY,
  current_days integer NOT NULL DEFAULT 0,
  longest_days integer NOT NULL DEFAULT 0,
  last_check_in date,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK (longest_days >= current_days)
);

CREATE TABLE IF NOT EXISTS user_achievements (
  user_id uuid NOT NULL,
  code text NOT NULL,
  unlocked_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, code)
);

CREATE TABLE IF NOT EXISTS engagement_events (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL,
  name text NOT NULL,
  properties jsonb NOT NULL DEFAULT '{}',
  occurred_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS engagement_events_user ON engagement_events (user_id, occurred_at);

CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON user_analytics
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON user_daily_activity
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON conversation_stats
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON platform_metrics
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON user_streaks
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON user_achievements
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON engagement_events
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

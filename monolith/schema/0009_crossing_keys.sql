-- Keys that cross a domain boundary (x_<table>_<column>), update triggers, function grants.

DO $$ DECLARE f text[]; BEGIN
  FOREACH f SLICE 1 IN ARRAY ARRAY[
    ['conversations','user_id','users','CASCADE'], ['conversations','character_id','characters','SET NULL'],
    ['message_reactions','user_id','users','CASCADE'], ['characters','creator_id','users','SET NULL'],
    ['media_metadata','user_id','users','CASCADE'], ['user_profiles','avatar_media_id','media_metadata','SET NULL'],
    ['stories','user_id','users','CASCADE'], ['stories','conversation_id','conversations','SET NULL'],
    ['story_likes','user_id','users','CASCADE'], ['fandom_rooms','creator_id','users','CASCADE'],
    ['room_members','user_id','users','CASCADE'], ['room_messages','user_id','users','SET NULL'],
    ['scenarios','creator_id','users','SET NULL'], ['community_characters','creator_id','users','CASCADE'],
    ['community_characters','image_media_id','media_metadata','SET NULL'], ['community_votes','user_id','users','CASCADE'],
    ['notifications','user_id','users','CASCADE'], ['user_analytics','user_id','users','CASCADE'],
    ['user_daily_activity','user_id','users','CASCADE'], ['conversation_stats','user_id','users','CASCADE'],
    ['user_streaks','user_id','users','CASCADE'],
    ['user_achievements','user_id','users','CASCADE'], ['engagement_events','user_id','users','CASCADE']]
  LOOP EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I FOREIGN KEY (%I) REFERENCES %I(id) ON DELETE ' || f[4],
    f[1], 'x_' || f[1] || '_' || f[2], f[2], f[3]); END LOOP; END $$;
DO $$ DECLARE t text; BEGIN                        -- every table with updated_at keeps it honest
  FOR t IN SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables b USING (table_schema, table_name)
    WHERE c.table_schema = 'public' AND c.column_name = 'updated_at' AND b.table_type = 'BASE TABLE'
  LOOP EXECUTE format('CREATE TRIGGER touch BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION touch_updated_at()', t); END LOOP; END $$;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;  -- then GRANT EXECUTE on quota_* and emit_event to the services' roles

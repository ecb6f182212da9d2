"""Model, speech, vision and moderation providers behind small interfaces; they know no table and no route."""

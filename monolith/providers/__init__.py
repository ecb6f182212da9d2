"""Model, speech and image providers behind small interfaces; they know no table and no route."""

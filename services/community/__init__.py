"""Stories, rooms with sockets, scenarios, votes, characters, notifications; owns their tables."""

"""The open sockets of rooms: seats, presence, and the way between apps; knows no HTTP route."""

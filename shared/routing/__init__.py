"""What goes where: path form, route table, sticky key, decision and explanation; pure, knows no I/O."""

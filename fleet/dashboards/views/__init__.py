"""One module per section of the navigation. Views read what they show from one query and change the fleet by one service."""

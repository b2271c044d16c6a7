"""What people read: views, and a report of the fleet."""

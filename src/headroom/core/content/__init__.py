"""What a text is: detection, token estimates."""

"""Pictures, and the pages of HTML that show them."""

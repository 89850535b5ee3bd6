"""Videos: opened safely, read with exact times, cut into clips, in processes of their own."""

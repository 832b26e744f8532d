"""What a file or folder holds, as plain facts."""

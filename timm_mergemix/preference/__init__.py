"""Winner and loser: the clean image is preferred to its mix, by a margin that the mixing ratio sets."""

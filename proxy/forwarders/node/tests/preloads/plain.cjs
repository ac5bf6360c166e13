// Something that the image's own NODE_OPTIONS load.

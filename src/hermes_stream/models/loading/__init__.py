"""From a name to a loaded model: opening, checking and placing checkpoints.

``load`` tells the order of the steps; each is a module that imports only those above it::

    messages progress weight_files placement    know nothing of each other
    hub            a hub name to a folder: the small files first, then the weights
    config_ranges  what values config.json may hold
    config_files   config, tokenizer and settings of a folder
    quantisation   weights of 8 bits and fewer
    trial          finite weights, and finite logits of a picture and a few words
    weights        tensors onto their devices
    footprint      whether a model and one stream fit a device
    load           all of it in turn
"""

"""Decodes untrusted picture files. All modules but `geometry` and `signatures` run in the sandbox.

signatures   which format a file has, also those that are not supported
png          PNG chunks: what Pillow must not see, and what it does not read
isobmff      brands and colour properties of HEIF and AVIF files
tiff         TIFF files: the directory, and what Pillow does not read correctly
bmp          BMP files with masks, of which Pillow knows few
jpeg         JPEG files that lack their end
variants     variants of supported formats that cannot be decoded
complete     whether a file ends too early
frames       which frame of an animation is shown
levels       every pixel mode → 8 bits a channel
colour       every colour space → sRGB
geometry     the size for the model
decode       the steps above, in order
"""
